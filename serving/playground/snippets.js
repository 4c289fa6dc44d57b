import { ROOT } from "./api.js";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export function snippet(language, body, withKey) {
  const url = new URL("v1/classify", ROOT).href;
  const sent = JSON.stringify(body, null, 2);
  if (language === "curl") {
    const key = withKey ? ' \\\n  -H "Authorization: Bearer $SIZEWISE_API_KEY"' : "";
    return `curl ${quoted(url)}${key} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(sent)}`;
  }
  if (language === "Python") {
    const key = withKey ? '    "Authorization": f"Bearer {os.environ[\'SIZEWISE_API_KEY\']}",\n' : "";
    const imports = ["json", ...(withKey ? ["os"] : []), "urllib.request"].map((each) => `import ${each}\n`);
    return `${imports.join("")}\nbody = json.loads(${JSON.stringify(JSON.stringify(body))})\n`
      + `headers = {\n    "Content-Type": "application/json",\n${key}}\n`
      + `request = urllib.request.Request(${JSON.stringify(url)}, json.dumps(body).encode(), headers)\n`
      + "with urllib.request.urlopen(request) as response:\n    print(json.load(response))";
  }
  const key = withKey ? "\n    Authorization: `Bearer ${process.env.SIZEWISE_API_KEY}`," : "";
  return `const response = await fetch(${JSON.stringify(url)}, {\n  method: "POST",\n  headers: {\n`
    + `    "Content-Type": "application/json",${key}\n  },\n  body: JSON.stringify(${sent}),\n});\n`
    + "console.log(await response.json());";
}
