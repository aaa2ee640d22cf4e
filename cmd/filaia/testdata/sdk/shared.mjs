// What every program here needs: where the gateway is, what is asked, and one line of JSON a step, which the Go tests
// look at. A step that throws ends the program, and so the test.
import process from 'node:process';

export const baseURL = process.env.FILAIA_URL;
export const apiKey = process.env.FILAIA_KEY;
export const keys = { quota: process.env.FILAIA_QUOTA_KEY, rate: process.env.FILAIA_RATE_KEY, other: process.env.FILAIA_OTHER_KEY, stumble: process.env.FILAIA_STUMBLE_KEY };
export const model = 'gpt-4.1-nano';
export const question = 'Quantos pães cabem no forno?';
export const tell = (step, facts) => console.log(JSON.stringify({ step, ...facts }));

// What a tool takes, and what an answer must look like, as JSON Schema.
export const stock = {
  name: 'consultar_estoque', description: 'Quantos itens há no estoque',
  parameters: {
    type: 'object', additionalProperties: false, required: ['produto', 'filial'],
    properties: { produto: { type: 'string' }, filial: { type: 'integer' } },
  },
};
export const order = {
  type: 'object', additionalProperties: false, required: ['cliente', 'itens'],
  properties: { cliente: { type: 'string' }, itens: { type: 'array', minItems: 1, items: { type: 'integer' } } },
};

// failing tells what a call throws, as describe reads it; what it answers, where it does not throw.
export async function failing(step, call, describe) {
  let facts;
  try {
    facts = { answered: (await call()) ?? true };
  } catch (e) {
    facts = describe(e);
  }
  tell(step, facts);
  return facts;
}

// useUpRate calls until a refusal asks to wait for so long that a call at once is refused as well.
export async function useUpRate(call, waitOf) {
  for (let n = 0; n < 200; n++) {
    try {
      await call();
    } catch (e) {
      if (waitOf(e) > 1000) return;
    }
  }
  throw new Error('the rate was never used up');
}
