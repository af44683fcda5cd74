// Keeps the page, so that it opens without a network. The model's files are kept by page/worker.js.

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

self.addEventListener("fetch", (event) => {
  const kept = caches.open(CACHE).then((cache) => cache.match(event.request));
  event.respondWith(kept.then((response) => response ?? fetch(event.request)));
});
