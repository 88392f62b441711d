// lib/client.ts
import createClient from "openapi-fetch";
import { API, fetchWithSession } from "./api.js";
import type { paths } from "./schema";

export const client = createClient<paths>({ baseUrl: API, fetch: fetchWithSession });
