// What the official SDK makes of refusals: error classes and their fields, and what it tries again.
// Prints one line of JSON a step; sdk_test.go looks at them and at what came over the wire.
import OpenAI, {
  APIError, AuthenticationError, BadRequestError, InternalServerError, NotFoundError, RateLimitError,
} from 'openai';

const baseURL = process.env.FILAIA_URL;
const clientOf = (apiKey) => new OpenAI({ baseURL, apiKey });
const client = clientOf(process.env.FILAIA_KEY);
const ask = { model: 'gpt-4.1-nano', max_tokens: 7, messages: [{ role: 'user', content: 'Quantos pães cabem no forno?' }] };
const classes = { AuthenticationError, BadRequestError, InternalServerError, NotFoundError, RateLimitError, APIError };

async function refused(step, call) {
  const line = { step };
  try {
    line.answered = (await call()) ?? true;
  } catch (e) {
    Object.assign(line, {
      class: Object.keys(classes).find((name) => e instanceof classes[name]) ?? e.constructor.name,
      status: e.status, code: e.code, type: e.type, param: e.param, message: e.message,
      requestID: e.requestID, retryAfterMS: Number(e.headers?.get('retry-after-ms') ?? 0),
      shouldRetry: e.headers?.get('x-should-retry') ?? null,
    });
  }
  return line;
}
const tell = async (step, call) => console.log(JSON.stringify(await refused(step, call)));

await tell('wrong key', () => clientOf('fia_live_wrong').chat.completions.create(ask));
await tell('another kind of key', () => clientOf('sk-proj-wrong').models.list());
await tell('unknown model', () => client.chat.completions.create({ ...ask, model: 'gpt-nope' }));
await tell('unknown model retrieved', () => client.models.retrieve('gpt-nope'));
await tell('unknown address', () => client.post('/nowhere', { body: {} }));
await tell('our bad request', () => client.chat.completions.create({ ...ask, max_tokens: 0 }));
await tell('our bad streamed request', () => client.chat.completions.create({ ...ask, stream: 'yes' }));
await tell('the provider\'s bad request', () => client.chat.completions.create({ ...ask, temperature: 3 }));
await tell('the provider\'s bad streamed request', () => client.chat.completions.create({ ...ask, temperature: 3, stream: true }));
await tell('too large', () => client.chat.completions.create({ ...ask, metadata: { text: 'x'.repeat(33 << 20) } }));
await tell('broken stream', async () => {
  let text = '';
  for await (const chunk of await client.chat.completions.create({ ...ask, max_tokens: 50, stream: true, user: 'corta' })) {
    text += chunk.choices[0]?.delta.content ?? '';
  }
  return text;
});
await tell('provider away', () => client.chat.completions.create({ ...ask, user: 'ausente' }));
await tell('quota', () => clientOf(process.env.FILAIA_QUOTA_KEY).chat.completions.create(ask));
await tell('streamed quota', () => clientOf(process.env.FILAIA_QUOTA_KEY).chat.completions.create({ ...ask, stream: true }));

// Use the minute up until a refusal tells that the next call must wait for long enough to be refused as well.
const limited = clientOf(process.env.FILAIA_RATE_KEY);
let last;
for (let n = 0; n < 100 && !(last?.retryAfterMS > 2000); n++) {
  last = await refused('rate', () => limited.chat.completions.create(ask, { maxRetries: 0 }));
}
console.log(JSON.stringify(last));
await tell('rate, tried again', async () => (await limited.chat.completions.create(ask)).choices[0].finish_reason);
await tell('end', () => true);
