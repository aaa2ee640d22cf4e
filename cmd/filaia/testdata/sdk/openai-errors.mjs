// What OpenAI's own SDK makes of refusals and failures: the class and its fields, what it tries again, and that a stream
// which breaks off never looks like one that has ended.
import OpenAI, {
  APIConnectionTimeoutError, APIError, AuthenticationError, BadRequestError, InternalServerError, NotFoundError, RateLimitError,
} from 'openai';
import { apiKey, baseURL, failing, keys, model, question, tell, useUpRate } from './shared.mjs';

const clientOf = (key) => new OpenAI({ baseURL, apiKey: key });
const client = clientOf(apiKey), stumbling = clientOf(keys.stumble);
const saying = (text) => [{ role: 'user', content: question + text }];
const ask = { model, max_tokens: 7, messages: saying('') };
const classes = { APIConnectionTimeoutError, AuthenticationError, BadRequestError, InternalServerError, NotFoundError, RateLimitError, APIError };

function describe(e) {
  return {
    class: Object.keys(classes).find((name) => e instanceof classes[name]) ?? e.constructor.name,
    status: e.status, code: e.code, type: e.type, param: e.param, message: e.message, requestID: e.requestID,
    shouldRetry: e.headers?.get('x-should-retry') ?? null,
  };
}
const refused = (step, call) => failing(step, call, describe);

await refused('wrong key', () => clientOf('fia_live_wrong').chat.completions.create(ask));
await refused('another kind of key', () => clientOf('sk-proj-wrong').models.list());
await refused('unknown model', () => client.chat.completions.create({ ...ask, model: 'gpt-nope' }));
await refused('unknown model retrieved', () => client.models.retrieve('gpt-nope'));
await refused('unknown model of embeddings', () => client.embeddings.create({ model: 'gpt-nope', input: question }));
await refused('unknown address', () => client.post('/nowhere', { body: {} }));
await refused('our bad request', () => client.chat.completions.create({ ...ask, max_tokens: 0 }));
await refused('our bad streamed request', () => client.chat.completions.create({ ...ask, stream: 'yes' }));
await refused('the provider\'s bad request', () => client.chat.completions.create({ ...ask, temperature: 3 }));
await refused('the provider\'s bad streamed request', () => client.chat.completions.create({ ...ask, temperature: 3, stream: true }));
await refused('too large', () => client.chat.completions.create({ ...ask, metadata: { text: 'x'.repeat(33 << 20) } }));
await refused('provider away', () => client.chat.completions.create({ ...ask, messages: saying(' (ausente)') }, { maxRetries: 0 }));
await refused('too slow for the client', () => client.chat.completions.create({ ...ask, messages: saying(' (devagar)') }, { timeout: 500, maxRetries: 0 }));

// The gateway tries again where the provider fails before its answer has begun; nobody sees it.
const stumbled = await stumbling.chat.completions.create({ ...ask, messages: saying(' (tropeça)') });
tell('provider stumbled', { finish: stumbled.choices[0].finish_reason });
let text = '';
for await (const chunk of await stumbling.chat.completions.create({ ...ask, messages: saying(' (tropeça de novo)'), stream: true })) {
  text += chunk.choices[0]?.delta.content ?? '';
}
tell('provider stumbled, streamed', { text });

for (const how of ['corta', 'trunca', 'erro']) {
  const messages = saying(` (${how})`), input = messages[0].content;
  const collect = async (stream) => {
    let type = '';
    for await (const event of await stream) type = event.type ?? event.choices[0]?.finish_reason ?? 'chunk';
    return type;
  };
  await refused(`chat, ${how}`, () => collect(client.chat.completions.create({ ...ask, max_tokens: 50, messages, stream: true })));
  await refused(`chat helper, ${how}`, () => client.chat.completions.stream({ ...ask, max_tokens: 50, messages }).finalChatCompletion());
  await refused(`completions, ${how}`, () => collect(client.completions.create({ model: 'gpt-3.5-turbo-instruct', prompt: input, max_tokens: 50, stream: true })));
  await refused(`responses, ${how}`, () => collect(client.responses.create({ model: 'gpt-4.1-mini', input, stream: true })));
  await refused(`responses helper, ${how}`, () => client.responses.stream({ model: 'gpt-4.1-mini', input }).finalResponse());
  await refused(`images, ${how}`, () => collect(client.images.generate({ model: 'gpt-image-1', prompt: input, stream: true, partial_images: 3 })));
}
await refused('speech, corta', async () => {
  const input = (question + ' (corta)').repeat(20);
  const spoken = await client.audio.speech.create({ model: 'tts-1', voice: 'alloy', input, response_format: 'wav' });
  return Buffer.from(await spoken.arrayBuffer()).length;
});
const failed = await client.responses.create({ model: 'gpt-4.1-mini', input: question + ' (falha)' });
tell('responses, failed', { end: failed.status, code: failed.error.code });

await refused('quota', () => clientOf(keys.quota).chat.completions.create(ask));
await refused('streamed quota', () => clientOf(keys.quota).chat.completions.create({ ...ask, stream: true }));

const limited = clientOf(keys.rate);
await useUpRate(() => limited.chat.completions.create(ask, { maxRetries: 0 }), (e) => Number(e.headers.get('retry-after-ms')));
await refused('rate', () => limited.chat.completions.create(ask, { maxRetries: 0 }));
tell('rate, tried again', { finish: (await limited.chat.completions.create(ask)).choices[0].finish_reason });
tell('end', {});
