// @huggingface/inference: image segmentation at an endpoint, of everything, of a point and of a box.
import { writeFileSync, readFileSync } from "node:fs";
import { InferenceClient } from "@huggingface/inference";

const [url, picture, out, key, point, box] = process.argv.slice(2);
const client = new InferenceClient(key || undefined, { endpointUrl: `${url}/hugging-face` });
const inputs = new Blob([readFileSync(picture)], { type: "image/png" });
const ask = (parameters) => client.imageSegmentation({ inputs, ...(parameters ? { parameters } : {}) });
const answers = {
  everything: await ask(),
  point: (await ask({ points: [JSON.parse(point)] })).slice(0, 1),
  box: (await ask({ box: JSON.parse(box) })).slice(0, 1),
};
writeFileSync(out, JSON.stringify(answers));
