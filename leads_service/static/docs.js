// A file of its own, because the page's Content-Security-Policy allows no script inside it.
SwaggerUIBundle({
  url: document.currentScript.dataset.document,
  dom_id: "#docs",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
