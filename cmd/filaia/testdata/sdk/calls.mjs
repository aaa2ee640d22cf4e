// Calls as a customer's program makes them: of the official SDK's settings, only the address and the key are changed.
// Prints one line of JSON a step; sdk_test.go looks at them.
import OpenAI from 'openai';

const client = new OpenAI({ baseURL: process.env.FILAIA_URL, apiKey: process.env.FILAIA_KEY });
const model = 'gpt-4.1-nano';
const messages = [{ role: 'user', content: 'Quantos pães cabem no forno?' }];
const tell = (step, facts) => console.log(JSON.stringify({ step, ...facts }));

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
    if (choice.delta.role) seen.roles.push(choice.delta.role);
    seen.content += choice.delta.content ?? '';
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

const tools = [{
  type: 'function',
  function: {
    name: 'consultar_estoque', description: 'Quantos itens há no estoque',
    parameters: { type: 'object', properties: { produto: { type: 'string' }, filial: { type: 'integer' } }, required: ['produto', 'filial'] },
  },
}];
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

const pedido = await client.chat.completions.parse({
  model, messages,
  response_format: {
    type: 'json_schema',
    json_schema: {
      name: 'pedido', strict: true,
      schema: {
        type: 'object', additionalProperties: false, required: ['cliente', 'itens'],
        properties: { cliente: { type: 'string' }, itens: { type: 'array', minItems: 1, items: { type: 'integer' } } },
      },
    },
  },
});
tell('schema', { parsed: pedido.choices[0].message.parsed });

const models = [];
for await (const m of client.models.list()) models.push(m);
tell('models', { models, one: await client.models.retrieve(model) });
tell('end', {});
