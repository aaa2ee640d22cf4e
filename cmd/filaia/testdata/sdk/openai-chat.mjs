// Chat, completions, embeddings and models with OpenAI's own SDK; only address and key are changed.
import OpenAI from 'openai';
import { zodResponseFormat, zodFunction } from 'openai/helpers/zod';
import { z } from 'zod';
import { apiKey, baseURL, model, question, stock, tell } from './shared.mjs';

const client = new OpenAI({ baseURL, apiKey });
const messages = [{ role: 'user', content: question }];

const whole = await client.chat.completions.create({ model, messages, max_tokens: 20 }).withResponse();
tell('whole', {
  id: whole.data.id, object: whole.data.object, content: whole.data.choices[0].message.content,
  finish: whole.data.choices[0].finish_reason, usage: whole.data.usage,
  requestID: whole.request_id, ofData: whole.data._request_id,
  headers: Object.fromEntries(whole.response.headers),
});

async function gather(stream) {
  const seen = { ids: new Set(), content: '', chunks: 0, usages: [], finish: null, roles: [] };
  for await (const chunk of stream) {
    seen.chunks++;
    seen.ids.add(chunk.id);
    seen.usages.push(chunk.usage);
    const choice = chunk.choices[0];
    if (!choice) continue;
    if (choice.delta?.role) seen.roles.push(choice.delta.role);
    seen.content += choice.delta?.content ?? choice.text ?? '';
    seen.finish = choice.finish_reason ?? seen.finish;
  }
  const usage = seen.usages.filter(Boolean);
  return {
    ids: seen.ids.size, chunks: seen.chunks, content: seen.content, finish: seen.finish, roles: seen.roles,
    withUsage: usage.length, usage: usage[0] ?? null, usageIsLast: Boolean(seen.usages.at(-1)),
    nullBefore: seen.usages.slice(0, -1).every((u) => u === null),
  };
}

tell('stream', await gather(await client.chat.completions.create({ model, messages, max_tokens: 20, stream: true })));
tell('stream with usage', await gather(await client.chat.completions.create({
  model, messages, max_tokens: 20, stream: true, stream_options: { include_usage: true },
})));

const runner = client.chat.completions.stream({ model, messages, max_tokens: 20, stream_options: { include_usage: true } });
let deltas = '';
runner.on('content', (delta) => { deltas += delta; });
const final = await runner.finalChatCompletion();
tell('helper', {
  content: final.choices[0].message.content, deltas, finish: final.choices[0].finish_reason,
  usage: final.usage, total: await runner.totalUsage(),
});

const tools = [{ type: 'function', function: stock }];
const asked = await client.chat.completions.create({ model, messages, tools, tool_choice: 'required' });
const call = asked.choices[0].message.tool_calls[0];
tell('tool', { finish: asked.choices[0].finish_reason, type: call.type, name: call.function.name, arguments: JSON.parse(call.function.arguments) });

const streamed = await client.chat.completions.stream({ model, messages, tools, tool_choice: 'required' }).finalChatCompletion();
const later = streamed.choices[0].message.tool_calls[0];
tell('streamed tool', { finish: streamed.choices[0].finish_reason, name: later.function.name, arguments: JSON.parse(later.function.arguments) });

const answered = await client.chat.completions.create({
  model, max_tokens: 20,
  messages: [...messages, asked.choices[0].message, { role: 'tool', tool_call_id: call.id, content: '42' }],
});
tell('tool answered', { finish: answered.choices[0].finish_reason, content: answered.choices[0].message.content });

const Pedido = z.object({ cliente: z.string(), itens: z.array(z.number().int()).min(1) });
const Estoque = z.object({ produto: z.string(), filial: z.number().int() });
const response_format = zodResponseFormat(Pedido, 'pedido');
const parsed = await client.chat.completions.parse({ model, messages, response_format });
tell('schema', { parsed: parsed.choices[0].message.parsed });
const parsedStream = await client.chat.completions.stream({ model, messages, response_format }).finalChatCompletion();
tell('streamed schema', { parsed: parsedStream.choices[0].message.parsed });
const parsedTool = await client.chat.completions.parse({
  model, messages, tools: [zodFunction({ name: stock.name, parameters: Estoque })], tool_choice: 'required',
});
tell('strict tool', { arguments: parsedTool.choices[0].message.tool_calls[0].function.parsed_arguments });

const reasoned = await client.chat.completions.create({ model: 'gpt-5-nano', messages, max_completion_tokens: 400 });
tell('reasoning', { usage: reasoned.usage });
const two = await client.chat.completions.create({ model, messages, max_tokens: 5, n: 2 });
tell('two choices', { choices: two.choices.length, usage: two.usage });

const instruct = 'gpt-3.5-turbo-instruct';
const text = await client.completions.create({ model: instruct, prompt: question, max_tokens: 12 });
tell('completion', { object: text.object, text: text.choices[0].text, finish: text.choices[0].finish_reason, usage: text.usage, requestID: text._request_id });
tell('streamed completion', await gather(await client.completions.create({ model: instruct, prompt: question, max_tokens: 12, stream: true })));

// The SDK asks for base64 and decodes it, unless another format is wanted.
const one = await client.embeddings.create({ model: 'text-embedding-3-small', input: question });
const many = await client.embeddings.create({ model: 'text-embedding-3-small', input: [question, 'Outra'], encoding_format: 'float' });
const norm = (v) => Math.round(Math.hypot(...v) * 1000);
tell('embeddings', {
  one: one.data[0].embedding.length, norm: norm(one.data[0].embedding), many: many.data.map((d) => d.embedding.length), indexes: many.data.map((d) => d.index),
  same: Math.max(...one.data[0].embedding.map((x, n) => Math.abs(x - many.data[0].embedding[n]))) < 1e-6, usage: one.usage, usageOfMany: many.usage,
  requestID: one._request_id,
});

const models = [];
for await (const m of client.models.list()) models.push(m);
tell('models', { models, one: await client.models.retrieve(model) });
tell('end', {});
