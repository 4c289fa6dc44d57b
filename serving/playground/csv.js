// The first column of a CSV (RFC 4180): quoted fields may hold commas, quotes and line breaks.
export function firstColumn(content) {
  const texts = [];
  let field = "", quoted = false, column = 0;
  const end = () => {
    if (field.trim()) texts.push(field.trim());
    [field, column] = ["", 0];
  };
  for (let at = 0; at < content.length; at++) {
    const char = content[at];
    if (quoted) {
      if (char === '"' && content[at + 1] !== '"') quoted = false;
      else {
        if (char === '"') at++;
        if (!column) field += char;
      }
    } else if (char === '"') quoted = true;
    else if (char === ",") column++;
    else if (char === "\n" || char === "\r") end();
    else if (!column) field += char;
  }
  end();
  return texts;
}
