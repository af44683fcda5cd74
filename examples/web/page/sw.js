// Keeps the page, and what was read of the book, so that both open without a network. The model's files are kept by
// page/worker.js, under addresses with a query.

importScripts("page/files.js");
const PREFIX = "mllmseg-page-";
const CACHE = PREFIX + self.FILES.version;

self.addEventListener("install", (event) => {
  const requests = self.FILES.page.map((path) => new Request(path, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)));
});

self.addEventListener("activate", (event) => {
  const drop = (name) => name.startsWith(PREFIX) && name !== CACHE && caches.delete(name);
  event.waitUntil(caches.keys().then((names) => Promise.all(names.map(drop))));
});

async function respond(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request);
  if (kept) return kept;
  const response = await fetch(request);
  if (response.status === 200 && !new URL(request.url).search) await cache.put(request, response.clone()).catch(() => {});
  return response;
}

self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(respond(event.request));
});
