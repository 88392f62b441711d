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
  responseInterceptor: useToken,
});

// A proxy may hide the scheme of the page's address from the document
function useOrigin(request) {
  return Object.assign(request, { url: request.url.replace(/^https?:\/\/[^/]+/, location.origin) });
}

// Log in by "Try it out", and the page is authorised; a reload forgets the token, as it should
function useToken(response) {
  const token = response.body?.accessToken;
  if (token) window.ui.preauthorizeApiKey("accessToken", token);
  return response;
}
