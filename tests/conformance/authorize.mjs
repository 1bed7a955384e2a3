// Loaded before the suite, which has no option for a header: shows the product who calls.
const token = process.env.CONFORMANCE_TOKEN;
const send = globalThis.fetch;

globalThis.fetch = (input, init = {}) => {
  const headers = new Headers(init.headers);
  headers.set("x-mesh-token", token);
  return send(input, { ...init, headers });
};
