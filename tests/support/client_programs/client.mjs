// fetch of Node.js: `node client.mjs URL KEY SIZE`; prints what it got as JSON.

const [url, key, size] = process.argv.slice(2);

async function ask(text, bearer = key) {
  const response = await fetch(`${url}/v1/classify`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${bearer}` },
    body: JSON.stringify({ texts: [text] }),
  });
  await response.text();
  return response.status;
}

const small = [await ask("good film"), await ask("good film"), await ask("good film")];
const large = await ask("x".repeat(Number(size)));
const unauthorized = await ask("x".repeat(Number(size)), "another");
console.log(JSON.stringify({ small, large, unauthorized, after: await ask("good film") }));
