// Moderations, images and audio with OpenAI's own SDK.
import OpenAI, { toFile } from 'openai';
import { apiKey, baseURL, question, tell } from './shared.mjs';

const client = new OpenAI({ baseURL, apiKey });

const judged = await client.moderations.create({ input: [question, 'vou te matar'] });
tell('moderations', { model: judged.model, flagged: judged.results.map((r) => r.flagged), requestID: judged._request_id });

const isPNG = (b64) => Buffer.from(b64, 'base64').subarray(1, 4).toString() === 'PNG';
const drawn = await client.images.generate({ model: 'gpt-image-1', prompt: question, size: '1024x1024', quality: 'low' });
tell('image', { png: isPNG(drawn.data[0].b64_json), size: drawn.size, usage: drawn.usage, requestID: drawn._request_id });
const linked = await client.images.generate({ model: 'dall-e-3', prompt: question });
tell('linked image', { url: linked.data[0].url, revised: linked.data[0].revised_prompt === question });
const seen = [];
let finished;
for await (const event of await client.images.generate({ model: 'gpt-image-1', prompt: question, quality: 'low', stream: true, partial_images: 2 })) {
  seen.push(event.type);
  if (event.type === 'image_generation.completed') finished = event;
}
tell('streamed image', { types: seen.join(' '), png: isPNG(finished.b64_json), usage: finished.usage });

const image = await toFile(Buffer.from(drawn.data[0].b64_json, 'base64'), 'pão.png', { type: 'image/png' });
const edited = await client.images.edit({ model: 'gpt-image-1', image, prompt: question, quality: 'low' });
tell('edited image', { png: isPNG(edited.data[0].b64_json), usage: edited.usage });
const both = await client.images.edit({ model: 'gpt-image-1', image: [image, image], prompt: question, quality: 'low' });
tell('two edited images', { usage: both.usage });
const varied = await client.images.createVariation({ model: 'gpt-image-1', image });
tell('variation', { png: isPNG(varied.data[0].b64_json), usage: varied.usage });

// Bare sound tells no usage: only events are billed by tokens.
const spoken = await client.audio.speech.create({ model: 'tts-1', voice: 'alloy', input: question, response_format: 'wav' });
const sound = Buffer.from(await spoken.arrayBuffer());
tell('speech', { type: spoken.headers.get('content-type'), riff: sound.subarray(0, 4).toString(), bytes: sound.length, requestID: spoken.headers.get('x-request-id') });
const events = await client.audio.speech.create({ model: 'gpt-4o-mini-tts', voice: 'alloy', input: question, stream_format: 'sse' });
tell('speech as events', { type: events.headers.get('content-type'), done: (await events.text()).includes('"speech.audio.done"') });

const file = () => toFile(sound, 'fala.wav', { type: 'audio/wav' });
const written = await client.audio.transcriptions.create({ model: 'gpt-4o-transcribe', file: await file() });
tell('transcription', { text: written.text, usage: written.usage, requestID: written._request_id });
let deltas = '', done;
for await (const event of await client.audio.transcriptions.create({ model: 'gpt-4o-transcribe', file: await file(), stream: true })) {
  if (event.type === 'transcript.text.delta') deltas += event.delta;
  if (event.type === 'transcript.text.done') done = event;
}
tell('streamed transcription', { text: done.text, deltas, usage: done.usage });
const timed = await client.audio.transcriptions.create({
  model: 'whisper-1', file: await file(), response_format: 'verbose_json', timestamp_granularities: ['word', 'segment'],
});
tell('timed transcription', { text: timed.text, words: timed.words.length > 0, segments: timed.segments.length > 0, duration: timed.duration });
const subtitles = await client.audio.transcriptions.create({ model: 'whisper-1', file: await file(), response_format: 'srt' });
tell('subtitles', { begin: subtitles.slice(0, 2) });
const translated = await client.audio.translations.create({ model: 'whisper-1', file: await file() });
tell('translation', { text: translated.text });
tell('end', {});
