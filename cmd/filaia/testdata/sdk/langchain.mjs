// LangChain's ChatOpenAI, in chat and in responses, and its OpenAIEmbeddings.
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { apiKey, baseURL, model, order, question, stock, tell } from './shared.mjs';

const configuration = { baseURL };
const stockTool = tool(() => '42', { name: stock.name, description: stock.description, schema: stock.parameters });

for (const [name, useResponsesApi] of [['chat', false], ['responses', true]]) {
  const chat = new ChatOpenAI({ model, apiKey, configuration, useResponsesApi, maxTokens: 20 });
  const free = new ChatOpenAI({ model, apiKey, configuration, useResponsesApi });
  const whole = await chat.invoke(question);
  tell(`${name}, whole`, { text: whole.text, usage: whole.usage_metadata, finish: whole.response_metadata.finish_reason ?? whole.response_metadata.incomplete_details.reason });

  let joined, pieces = 0;
  for await (const chunk of await chat.stream(question)) {
    joined = joined ? joined.concat(chunk) : chunk;
    pieces++;
  }
  tell(`${name}, stream`, { text: joined.text, pieces, usage: joined.usage_metadata });

  const caller = free.bindTools([stockTool], { tool_choice: stock.name });
  const asked = await caller.invoke(question);
  tell(`${name}, tool`, { name: asked.tool_calls[0].name, arguments: asked.tool_calls[0].args });
  let streamed;
  for await (const chunk of await caller.stream(question)) streamed = streamed ? streamed.concat(chunk) : chunk;
  tell(`${name}, streamed tool`, { name: streamed.tool_calls[0].name, arguments: streamed.tool_calls[0].args });
  const result = await stockTool.invoke(asked.tool_calls[0]);
  const answered = await chat.invoke([new HumanMessage(question), asked, result]);
  tell(`${name}, tool answered`, { result: ToolMessage.isInstance(result) && result.content, text: answered.text });

  const structured = free.withStructuredOutput({ title: 'pedido', ...order }, { method: 'jsonSchema', strict: true });
  tell(`${name}, schema`, { parsed: await structured.invoke(question) });
  const calling = free.withStructuredOutput({ title: 'pedido', description: 'Um pedido', ...order }, { method: 'functionCalling' });
  tell(`${name}, schema by a tool`, { parsed: await calling.invoke(question) });

  const several = await chat.batch([question, 'Outra'], { maxConcurrency: 2 });
  tell(`${name}, batch`, { texts: several.map((m) => m.text) });
}

const embeddings = new OpenAIEmbeddings({ model: 'text-embedding-3-small', apiKey, configuration });
const one = await embeddings.embedQuery(question);
const many = await embeddings.embedDocuments([question, 'Outra']);
tell('embeddings', { one: one.length, many: many.map((e) => e.length) });
tell('end', {});
