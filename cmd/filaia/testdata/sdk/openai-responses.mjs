// The Responses API with OpenAI's own SDK, stored responses and those of the background included.
import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { apiKey, baseURL, failing, keys, model, question, stock, tell } from './shared.mjs';

const client = new OpenAI({ baseURL, apiKey });
const ask = { model, input: question, max_output_tokens: 20 };
const describe = (e) => ({ class: e.constructor.name, status: e.status, code: e.code, type: e.type, param: e.param, message: e.message, requestID: e.requestID });

const whole = await client.responses.create(ask).withResponse();
const first = whole.data;
tell('whole', {
  id: first.id, object: first.object, status: first.status, reason: first.incomplete_details?.reason, text: first.output_text, usage: first.usage,
  requestID: whole.request_id, ofData: first._request_id,
});

async function gather(stream) {
  const seen = { types: [], numbers: [], text: '', arguments: '', last: null };
  for await (const event of stream) {
    seen.types.push(event.type);
    seen.numbers.push(event.sequence_number);
    if (event.type === 'response.output_text.delta') seen.text += event.delta;
    if (event.type === 'response.function_call_arguments.delta') seen.arguments += event.delta;
    if (event.response) seen.last = event.response;
  }
  return {
    firstType: seen.types[0], lastType: seen.types.at(-1), inOrder: seen.numbers.every((n, at) => n === at), text: seen.text,
    arguments: seen.arguments, status: seen.last.status, usage: seen.last.usage, id: seen.last.id,
  };
}

const stream = await gather(await client.responses.create({ ...ask, stream: true }));
tell('stream', stream);

const runner = client.responses.stream(ask);
let deltas = '', snapshot = '';
runner.on('response.output_text.delta', (event) => { deltas += event.delta; snapshot = event.snapshot; });
const final = await runner.finalResponse();
tell('helper', { text: final.output_text, deltas, snapshot, status: final.status, usage: final.usage });

const tools = [{ type: 'function', strict: true, ...stock }];
const asked = await client.responses.create({ model, input: question, tools, tool_choice: 'required' });
const call = asked.output.find((item) => item.type === 'function_call');
tell('tool', { status: asked.status, name: call.name, arguments: JSON.parse(call.arguments) });
const streamed = await client.responses.stream({ model, input: question, tools, tool_choice: 'required' }).finalResponse();
const later = streamed.output.find((item) => item.type === 'function_call');
tell('streamed tool', { status: streamed.status, name: later.name, arguments: JSON.parse(later.arguments) });
const answered = await client.responses.create({
  ...ask, previous_response_id: asked.id, input: [{ type: 'function_call_output', call_id: call.call_id, output: '42' }],
});
tell('tool answered', { previous: answered.previous_response_id === asked.id, text: answered.output_text, usage: answered.usage });

const Pedido = z.object({ cliente: z.string(), itens: z.array(z.number().int()).min(1) });
const parsed = await client.responses.parse({ model, input: question, text: { format: zodTextFormat(Pedido, 'pedido') } });
tell('schema', { parsed: parsed.output_parsed });

const next = await client.responses.create({ ...ask, input: 'E no forno maior?', previous_response_id: first.id });
tell('continued', { previous: next.previous_response_id === first.id, usage: next.usage });

const found = await client.responses.retrieve(first.id);
tell('retrieved', { same: found.id === first.id && found.output_text === first.output_text, status: found.status, requestID: found._request_id });
const foundLater = await client.responses.retrieve(stream.id);
tell('streamed and retrieved', { same: foundLater.id === stream.id && foundLater.output_text === stream.text });
const page = await client.responses.inputItems.list(first.id);
tell('input items', { items: page.data.length, role: page.data[0].role, text: page.data[0].content[0].text === question, more: page.hasNextPage() });
const several = ['um', 'dois', 'três'].map((content) => ({ role: 'user', content }));
const long = await client.responses.create({ ...ask, input: several });
const items = [];
for await (const item of client.responses.inputItems.list(long.id, { limit: 2, order: 'asc' })) items.push(item.content[0].text);
tell('paged input items', { texts: items.join(' ') });
await failing('cancelled although whole', () => client.responses.cancel(first.id), describe);

const stranger = new OpenAI({ baseURL, apiKey: keys.other });
await failing('retrieved by another tenant', () => stranger.responses.retrieve(first.id), describe);
await failing('continued by another tenant', () => stranger.responses.create({ ...ask, previous_response_id: first.id }), describe);
await failing('deleted by another tenant', () => stranger.responses.delete(first.id), describe);
await client.responses.delete(first.id);
await failing('retrieved after it was deleted', () => client.responses.retrieve(first.id), describe);
const forgotten = await client.responses.create({ ...ask, store: false });
await failing('retrieved although not stored', () => client.responses.retrieve(forgotten.id), describe);

let background = await client.responses.create({ ...ask, background: true });
const begun = background.status;
for (const deadline = Date.now() + 60_000; ['queued', 'in_progress'].includes(background.status) && Date.now() < deadline; await sleep(50)) {
  background = await client.responses.retrieve(background.id);
}
tell('background', { begun, status: background.status, text: background.output_text, usage: background.usage });
tell('streamed background', await gather(await client.responses.create({ ...ask, background: true, stream: true })));
const doomed = await client.responses.create({ ...ask, background: true });
const cancelled = await client.responses.cancel(doomed.id);
tell('cancelled', { begun: doomed.status, status: cancelled.status, usage: cancelled.usage ?? null });
tell('end', {});
