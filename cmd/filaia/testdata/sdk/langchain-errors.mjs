// What LangChain makes of refusals and failures: it tries again itself, with the SDK of OpenAI below it.
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { apiKey, baseURL, failing, keys, model, question, tell, useUpRate } from './shared.mjs';

const configuration = { baseURL };
const chatOf = (key, more) => new ChatOpenAI({ model, apiKey: key, configuration, maxTokens: 16, ...more });

const describe = (e) => ({
  class: e.constructor.name, name: e.name, status: e.status, code: e.code, type: e.type, param: e.param, message: e.message, requestID: e.requestID,
  reason: e.lc_error_code,
});
const refused = (step, call) => failing(step, call, describe);

async function read(chat, text) {
  let last;
  for await (const chunk of await chat.stream(text)) last = chunk;
  return last.response_metadata;
}

for (const [name, useResponsesApi] of [['chat', false], ['responses', true]]) {
  const of = (key, more) => chatOf(key, { useResponsesApi, ...more });
  await refused(`${name}, wrong key`, () => of('fia_live_wrong').invoke(question));
  await refused(`${name}, unknown model`, () => of(apiKey, { model: 'gpt-nope' }).invoke(question));
  await refused(`${name}, unknown model streamed`, () => read(of(apiKey, { model: 'gpt-nope' }), question));
  await refused(`${name}, the provider's bad request`, () => of(apiKey, { temperature: 3 }).invoke(question));
  for (const how of ['corta', 'trunca', 'erro']) {
    await refused(`${name}, ${how}`, () => read(of(apiKey, { model: 'gpt-4.1-mini', maxTokens: 50, maxRetries: 0 }), `${question} (${how})`));
  }
  await refused(`${name}, quota`, () => of(keys.quota).invoke(question));
  await refused(`${name}, streamed quota`, () => read(of(keys.quota), question));
}
await refused('embeddings, unknown model', () => new OpenAIEmbeddings({ model: 'gpt-nope', apiKey, configuration }).embedQuery(question));
await refused('provider away', () => chatOf(apiKey, { maxRetries: 0 }).invoke(question + ' (ausente)'));

const stumbling = chatOf(keys.stumble);
tell('provider stumbled', { text: (await stumbling.invoke(question + ' (tropeça)')).text });
tell('provider stumbled, streamed', { usage: (await read(stumbling, question + ' (tropeça de novo)')).usage });

const once = chatOf(keys.rate, { maxRetries: 0 });
await useUpRate(() => once.invoke(question), (e) => Number(e.headers.get('retry-after-ms')));
await refused('rate', () => once.invoke(question));
tell('rate, tried again', { text: (await chatOf(keys.rate).invoke(question)).text });
tell('end', {});
