// validatorUrl: null keeps the page from asking another host
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  validatorUrl: null,
  responseInterceptor: useToken,
});

// Log in by "Try it out", and the page is authorised; a reload forgets the token, as it should
function useToken(response) {
  const token = response.body?.accessToken;
  if (token) window.ui.preauthorizeApiKey("accessToken", token);
  return response;
}
