// Order the requests of the collection, pass on the token and the ID, and expect success of each.
import { readFileSync, writeFileSync } from "node:fs";

const ORDER = `POST auth/signup, POST auth/login, GET me, PATCH me, GET auth/sessions, POST auth/tokens, POST movies,
  GET movies, GET movies/stats, GET movies/:movie_id, PUT movies/:movie_id, PATCH movies/:movie_id,
  GET movies/export, POST images, GET health, GET ready, DELETE movies/:movie_id, POST auth/refresh,
  POST auth/logout, POST auth/login, PUT me/password, DELETE me`.split(/,\s+/);
const KEEP = `
  pm.test(pm.info.requestName, () => pm.response.to.be.success);
  const body = pm.response.text().startsWith("{") ? pm.response.json() : {};
  if (body.accessToken) pm.variables.set("bearerToken", body.accessToken);
  if (body.title) pm.variables.set("movieId", body.id);`;

const collection = JSON.parse(readFileSync("out/collection.json", "utf8"));
const requests = {};
(function collect(items) {
  for (const each of items) {
    if (each.item) collect(each.item);
    else requests[`${each.request.method} ${each.request.url.path.join("/")}`] = each;
  }
})(collection.item);

collection.item = ORDER.map((name) => {
  const each = structuredClone(requests[name]);
  if (!each) throw new Error(`The collection has no ${name}.`);
  const id = each.request.url.variable?.find(({ key }) => key === "movie_id");
  if (id) id.value = "{{movieId}}";
  return each;
});
collection.event = [{ listen: "test", script: { type: "text/javascript", exec: KEEP.split("\n") } }];
collection.auth = { type: "bearer", bearer: [{ key: "token", value: "{{bearerToken}}", type: "string" }] };
writeFileSync("out/run.json", JSON.stringify(collection));
