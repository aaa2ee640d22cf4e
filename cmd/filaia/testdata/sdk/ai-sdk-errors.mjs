// What Vercel's AI SDK makes of refusals and failures. It tries again by the status alone, unless maxRetries is 0.
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, embed, generateText, RetryError, streamText } from 'ai';
import { apiKey, baseURL, failing, keys, model, question, tell, useUpRate } from './shared.mjs';

const compatibleOf = (key) => createOpenAICompatible({ name: 'filaia', baseURL, apiKey: key, includeUsage: true });
const openaiOf = (key) => createOpenAI({ baseURL, apiKey: key });
const compatible = compatibleOf(apiKey);
const onError = () => {}; // else it prints them

function describe(e) {
  if (RetryError.isInstance(e)) e = e.lastError;
  if (!APICallError.isInstance(e)) return { class: 'part of the stream', code: e.code, type: e.type, message: e.message, ends: e.ends?.join() };
  const { code, type, param } = e.data.error;
  return { class: e.name, status: e.statusCode, code, type, param, message: e.message, requestID: e.responseHeaders['x-request-id'] };
}
const refused = (step, call) => failing(step, call, describe);
const ask = (language, more) => ({ model: language, prompt: question, maxOutputTokens: 16, maxRetries: 0, onError, ...more });

// read reads a stream to its end and tells how it ended; an error comes as a part of the stream.
async function read(options) {
  const stream = streamText(ask(options.model, options));
  let problem;
  const ends = [];
  for await (const part of stream.fullStream) {
    if (part.type === 'error') problem ??= part.error;
    if (part.type === 'finish') ends.push(part.finishReason);
  }
  if (problem) throw Object.assign(Object(problem), { ends });
  return ends.join();
}

for (const [name, of] of [['compatible', (key) => compatibleOf(key)], ['chat', (key) => openaiOf(key).chat], ['responses', (key) => openaiOf(key).responses]]) {
  const provider = of(apiKey);
  await refused(`${name}, wrong key`, () => generateText(ask(of('fia_live_wrong')(model))));
  await refused(`${name}, unknown model`, () => generateText(ask(provider('gpt-nope'))));
  await refused(`${name}, unknown model streamed`, () => read({ model: provider('gpt-nope') }));
  await refused(`${name}, the provider's bad request`, () => generateText(ask(provider(model), { temperature: 3 })));
  for (const how of ['corta', 'trunca', 'erro']) {
    await refused(`${name}, ${how}`, () => read({ model: provider('gpt-4.1-mini'), prompt: `${question} (${how})`, maxOutputTokens: 50 }));
  }
  await refused(`${name}, quota`, () => generateText(ask(of(keys.quota)(model))));
  await refused(`${name}, streamed quota`, () => read({ model: of(keys.quota)(model) }));
}
await refused('embeddings, unknown model', () => embed({ model: compatible.embeddingModel('gpt-nope'), value: question, maxRetries: 0 }));
await refused('provider away', () => generateText(ask(compatible(model), { prompt: question + ' (ausente)' })));

const stumbling = compatibleOf(keys.stumble)(model);
tell('provider stumbled', { finish: (await generateText(ask(stumbling, { prompt: question + ' (tropeça)', maxRetries: 2 }))).finishReason });
tell('provider stumbled, streamed', { finish: await read({ model: stumbling, prompt: question + ' (tropeça de novo)', maxRetries: 2 }) });

const limited = compatibleOf(keys.rate)(model);
await useUpRate(() => generateText(ask(limited)), (e) => Number(e.responseHeaders['retry-after-ms']));
await refused('rate', () => generateText(ask(limited)));
tell('rate, tried again', { finish: (await generateText(ask(limited, { maxRetries: 2 }))).finishReason });
tell('end', {});
