// Writes counts.jsonl: texts and their token counts by OpenAI's tiktoken (npm package tiktoken 1.0.22).
//   npm install tiktoken@1.0.22 && node generate.js > counts.jsonl
const { get_encoding } = require("tiktoken");
const o200k = get_encoding("o200k_base"), cl100k = get_encoding("cl100k_base");

let state = 20260101;
const random = (n) => { state = (Math.imul(state, 1103515245) + 12345) >>> 0; return (state >>> 8) % n; };

const texts = [
  "", " ", "a", "\n", "\n \n", "\n \n \n x", "x\n  ", "x \r\n \t", "a   b  \n\n  \n c", "\r\n \r\n", "     ", "   x",
  "Olá, mundo!", "Não há limite: R$ 1.234,56 às 14h30.", "I'll, you'RE, it'S, don'ſ, 'sir', 'Twas, o'clock",
  "gpt-4.1-nano", "CamelCaseHTTPServer", "snake_case_name", "x/y/z//\n/\n", "https://exemplo.com.br/a?b=c&d=%20",
  "\u0301A1", "ªAB1", "ªA1", "e\u0301te\u0301", "!\u0301a", "ǅ ǅa aǅ", "१२३४५", "½⅓ Ⅷ", "1234567890123", "a1b2c3",
  "漢字かなカナ한국어", "Привет, мир", "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "สวัสดีชาวโลก", "👩‍👩‍👧‍👦 🇧🇷 ✅",
  "\u00a0\u2003\u3000x", "a\u0085b", "\u200b\ufeff", "<|endoftext|>", "<|im_start|>user\noi<|im_end|>",
  "{\"a\":[1,2,{\"b\":null}],\"c\":\"d\\n\"}", "func main() {\n\n\tfmt.Println(\"oi\")\n}\n",
  "a\n    b\n  c\n\td", "def f(x):\n    if x:\n        return 1\n\n    return 2\n", "SELECT * FROM t WHERE a >= 10 -- ok\n",
  "a".repeat(300), "=".repeat(200), " ".repeat(200), "\n".repeat(150), "ab".repeat(150), "\n ".repeat(60), "é".repeat(120),
  "O relatório de março mostra crescimento de 12,5% sobre fevereiro, puxado pela região Sudeste. Sugiro revisar os " +
    "contratos com vencimento até 30/06 e priorizar os clientes do plano Pro.",
];
const atoms = ["a", "B", "ç", "É", "ª", "ǅ", "ʰ", "漢", "\u0301", "\u0903", "1", "٣", "½", " ", " ", "\t", "\n", "\r", "\r\n",
  "\u00a0", "\u2028", "'", "'s", "'LL", "'ve", "'D", "ſ", ".", "/", "-", "€", "👍", "_", "(", "\"", "olá", "the", "Casa", " de",
  " que", "    ", "\u0000", "ção", "não", "x=", "});"];
for (let i = 0; i < 1200; i++) {
  let text = "";
  for (let n = 1 + random(i < 600 ? 6 : 30); n > 0; n--) text += atoms[random(atoms.length)];
  texts.push(text);
}
for (const text of texts) {
  console.log(JSON.stringify({ text, o200k: o200k.encode_ordinary(text).length, cl100k: cl100k.encode_ordinary(text).length }));
}
