// In a file of its own: the page's policy allows no script inside the HTML.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  displayRequestDuration: true,
  // Swagger UI would otherwise send the address of this server to a public validator.
  validatorUrl: null,
});
