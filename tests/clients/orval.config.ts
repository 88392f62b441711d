// Of several media types of a body, orval's fetch client sends none correctly: it gets only the form.
const input = "./out/openapi.json";
const fetch = { target: "./out/orval/fetch.ts", client: "fetch", baseUrl: process.env.API_URL };

export default {
  fetch: { input, output: { ...fetch, override: { contentType: { exclude: ["*/*"] } } } },
  zod: { input, output: { target: "./out/orval/zod.ts", client: "zod" } },
};
