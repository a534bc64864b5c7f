// A file of its own, because the page's Content-Security-Policy allows no script inside it.
SwaggerUIBundle({
  url: document.currentScript.dataset.document,
  dom_id: "#docs",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
  // Calls go to where the page came from, also behind a proxy of which the service does not know.
  requestInterceptor: (request) => {
    const address = new URL(request.url, location.href);
    request.url = location.origin + address.pathname + address.search;
    return request;
  },
});
