// lib/api.js
// The page's own host, which forwards to the API, or the API's: with Vite http://localhost:3001, for example
export const API = import.meta.env?.VITE_API_URL ?? "";

export let accessToken = null; // never in localStorage, where any script can read it
let userId = null; // the user of this page: all tabs share the cookie, and another may log in as another user
let refreshing = null; // the refresh in progress, shared by all calls that need one

export class ApiError extends Error {
  constructor(status, error, retryAfter) {
    const unknown = { code: "UNKNOWN", message: "The service is unavailable. Please try again." };
    const { code, message, details = {}, fields = [] } = error ?? unknown;
    super(message); // written for people: show it
    this.status = status; // 0 without a response
    this.code = code;
    this.details = details;
    /** @type {{ field: string, code: string, message: string }[]} */
    this.fields = fields;
    this.retryAfter = retryAfter; // seconds: for RATE_LIMITED and SERVICE_UNAVAILABLE
  }
}

function prepare(method, path, body) {
  return new Request(API + path, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    credentials: "include", // or the browser neither stores nor sends the refresh cookie
    body: JSON.stringify(body),
  });
}

function send(request) {
  if (accessToken) request.headers.set("Authorization", `Bearer ${accessToken}`);
  return fetch(request).catch((error) => {
    throw error instanceof TypeError ? new ApiError(0) : error; // offline, or CORS_ORIGIN lacks this origin
  });
}

const parse = (response) => response.json().catch(() => null); // a proxy's error page is not JSON

export async function read(response) {
  if (response.status === 204) return null;
  const result = await parse(response);
  if (response.ok) return result;
  throw new ApiError(response.status, result?.error, Number(response.headers.get("Retry-After")));
}

function startSession(result) {
  accessToken = result.accessToken;
  userId = result.user.id;
  return result.user;
}

function continueSession(result) {
  if (userId === null || userId === result.user.id) return startSession(result);
  const message = "Another user has logged in. Please reload the page.";
  throw new ApiError(401, { code: "OTHER_USER", message });
}

const post = (path, body) => send(prepare("POST", path, body)).then(read);
export const signUp = (fields) => post("/auth/signup", fields).then(startSession);
export const logIn = (fields) => post("/auth/login", fields).then(startSession);
export const logOut = () =>
  post("/auth/logout").finally(() => {
    accessToken = userId = null;
  });

export function refresh() {
  refreshing ??= post("/auth/refresh")
    .then(continueSession)
    .finally(() => {
      refreshing = null;
    });
  return refreshing;
}

// Like fetch, with the access token; refreshes an expired one, and retries once
export async function fetchWithSession(url, options) {
  const request = new Request(url, options);
  const used = accessToken;
  const response = await send(request.clone());
  if (response.status !== 401) return response;
  const result = await parse(response.clone());
  if (!["TOKEN_EXPIRED", "MISSING_TOKEN"].includes(result?.error?.code)) return response;
  if (accessToken === used) await refresh(); // unless another call has refreshed already
  return send(request);
}

export const api = (method, path, body) => fetchWithSession(prepare(method, path, body)).then(read);
