// What was done on the page as a command for a shell, and as a program in Python.

/** @typedef {{what: string, request: Record<string, any>}} Done */
/** @typedef {{address: string, name: string, model: string, decode: unknown, hasKey: boolean}} Where */

/** @param {Done} done @param {Where} where */
export function asCurl({ what, request }, { address, name, model, decode, hasKey }) {
  const document = JSON.stringify({ ...request, ...(model ? { model } : {}), ...(decode ? { decode } : {}) });
  const parts = [
    ...(hasKey ? ["printf 'header = \"Authorization: Bearer %s\"' \"$SAM_API_KEY\" | curl -K -"] : ["curl"]),
    `-F ${quoted(`image=@"${name.replace(/(["\\])/g, "\\$1")}"`)}`,
    `-F ${quoted(`request=${document}`)}`,
    `${address}/${what}`,
  ];
  return parts.join(" \\\n  ");
}

/** @param {Done} done @param {Where} where */
export function asPython({ what, request }, { address, name, model, decode, hasKey }) {
  const options = [JSON.stringify(address), ...(hasKey ? ['api_key=os.environ["SAM_API_KEY"]'] : [])];
  const opening = [JSON.stringify(name), ...(model ? [`model=${JSON.stringify(model)}`] : []), ...(decode ? [`decode=${python(decode)}`] : [])];
  const calls = /** @type {Record<string, () => string[]>} */ ({
    segment: () => {
      const [prompt] = request.prompts;
      return [`masks = picture.segment(${keywords(prompt)})`, "print(masks[0].area, masks[0].predicted_iou)"];
    },
    "segment/auto": () => [`masks = picture.everything(${keywords(request)})`, 'print(len(masks), "masks")'],
    analyze: () => [`analysis = picture.analyze(${keywords(request)})`, 'print(len(analysis.objects), "objects")', 'analysis.save("objects.xlsx")'],
  });
  return [
    ...(hasKey ? ["import os", ""] : []),
    "from client import SamClient",
    "",
    `client = SamClient(${options.join(", ")})`,
    `picture = client.picture(${opening.join(", ")})`,
    ...calls[what](),
    "",
  ].join("\n");
}

/** In the quotes of a shell. @param {string} text */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** @param {Record<string, unknown>} values */
function keywords(values) {
  return Object.entries(values).map(([name, value]) => `${name}=${python(value)}`).join(", ");
}

/** A value of JSON as Python writes it. @param {unknown} value @returns {string} */
function python(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, inner]) => `${JSON.stringify(name)}: ${python(inner)}`).join(", ")}}`;
  return JSON.stringify(value);
}
