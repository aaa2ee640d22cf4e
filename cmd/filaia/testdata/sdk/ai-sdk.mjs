// Vercel's AI SDK: its provider for OpenAI-compatible addresses, and OpenAI's own with chat and responses.
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embed, embedMany, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';
import { apiKey, baseURL, model, order, question, stock, tell } from './shared.mjs';

const compatible = createOpenAICompatible({ name: 'filaia', baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true });
const openai = createOpenAI({ baseURL, apiKey });
const tools = (execute) => ({
  [stock.name]: tool({ description: stock.description, inputSchema: jsonSchema(stock.parameters), execute }),
});

for (const [name, language] of [['compatible', compatible(model)], ['chat', openai.chat(model)], ['responses', openai.responses(model)]]) {
  const ask = { model: language, prompt: question, maxOutputTokens: 20 };
  const whole = await generateText(ask);
  tell(`${name}, whole`, { text: whole.text, finish: whole.finishReason, usage: whole.usage, requestID: whole.response.headers['x-request-id'] });

  const stream = streamText(ask);
  let deltas = '', parts = [];
  for await (const part of stream.fullStream) {
    if (part.type === 'text-delta') deltas += part.text;
    parts.push(part.type);
  }
  tell(`${name}, stream`, { deltas, text: await stream.text, finish: await stream.finishReason, usage: await stream.usage, last: parts.at(-1) });

  const asked = await generateText({ model: language, prompt: question, tools: tools(), toolChoice: 'required' });
  tell(`${name}, tool`, { finish: asked.finishReason, name: asked.toolCalls[0].toolName, arguments: asked.toolCalls[0].input });
  const streamed = streamText({ model: language, prompt: question, tools: tools(), toolChoice: 'required' });
  const pieces = [];
  for await (const part of streamed.fullStream) if (part.type === 'tool-input-delta') pieces.push(part.delta);
  const [call] = await streamed.toolCalls;
  tell(`${name}, streamed tool`, {
    finish: await streamed.finishReason, name: call.toolName, arguments: call.input, pieces: pieces.length > 1,
    joined: JSON.stringify(JSON.parse(pieces.join(''))) === JSON.stringify(call.input),
  });
  const ran = await generateText({
    model: language, prompt: question, maxOutputTokens: 60, tools: tools(async () => '42'), stopWhen: stepCountIs(2),
    prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? 'required' : 'none' }),
  });
  tell(`${name}, tool answered`, { steps: ran.steps.length, result: ran.steps[0].toolResults[0]?.output, text: ran.text });

  const output = Output.object({ schema: jsonSchema(order), name: 'pedido' });
  tell(`${name}, schema`, { parsed: (await generateText({ model: language, prompt: question, output })).output });
  tell(`${name}, streamed schema`, { parsed: await streamText({ model: language, prompt: question, output }).output });
}

const first = await generateText({ model: openai.responses(model), prompt: question, maxOutputTokens: 20 });
const previousResponseId = first.providerMetadata.openai.responseId;
const next = await generateText({ model: openai.responses(model), prompt: 'E no forno maior?', maxOutputTokens: 20, providerOptions: { openai: { previousResponseId } } });
tell('responses, continued', { text: next.text, more: next.usage.inputTokens >= first.usage.inputTokens + 20 });
const reasoned = await generateText({ model: openai.responses('gpt-5-nano'), prompt: question, maxOutputTokens: 400 });
tell('responses, reasoning', { tokens: reasoned.usage.outputTokenDetails.reasoningTokens });

for (const [name, embedding] of [['compatible', compatible.embeddingModel('text-embedding-3-small')], ['openai', openai.embedding('text-embedding-3-small')]]) {
  const one = await embed({ model: embedding, value: question });
  const many = await embedMany({ model: embedding, values: [question, 'Outra'] });
  tell(`${name}, embeddings`, { one: one.embedding.length, many: many.embeddings.map((e) => e.length), usage: one.usage, usageOfMany: many.usage });
}
tell('end', {});
