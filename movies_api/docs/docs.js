const dark = matchMedia("(prefers-color-scheme: dark)");
const showTheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
showTheme();
dark.addEventListener("change", showTheme);

// validatorUrl: null keeps the page from asking another host
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  validatorUrl: null,
  requestInterceptor: useOrigin,
  responseInterceptor: (response) => (response.url.endsWith("openapi.json") ? clearOptional : useToken)(response),
});

// A proxy may hide the scheme of the page's address from the document
function useOrigin(request) {
  return Object.assign(request, { url: request.url.replace(/^https?:\/\/[^/]+/, location.origin) });
}

// Optional parameters start empty: the filters and keys of the examples hide what a call did
function clearOptional(response) {
  const content = JSON.parse(response.text);
  for (const path of Object.values(content.paths))
    for (const { parameters = [] } of Object.values(path))
      for (const each of parameters) if (!each.required) delete each.example;
  return Object.assign(response, { text: JSON.stringify(content) });
}

// Log in by "Try it out", and the page is authorised; a reload forgets the token, as it should
function useToken(response) {
  const token = response.body?.accessToken;
  if (token) window.ui.preauthorizeApiKey("accessToken", token);
  return response;
}
