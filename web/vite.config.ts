/**
 * How the page is served and built. Models and examples are assets of the page (src/shipped.ts names them), so that one
 * folder, `web/dist`, is all that a host needs. README.md says which headers a host should send.
 */
import { fileURLToPath } from 'node:url';
import { defineConfig, type Rolldown } from 'vite';

/** Nothing but this page's own files may be loaded or spoken to. Styles may be inline: the viewer sets them on its canvas. */
const policy = [
  "default-src 'none'",
  // 'wasm-unsafe-eval' allows compiling WebAssembly, not `eval`.
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' blob: data:",
  "font-src 'self' data:",
  "connect-src 'self' blob: data:",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

const headers = {
  // Together they make the page cross-origin isolated: only then do browsers share memory between threads.
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  // Said in the page too; a worker heeds only what comes with its own script.
  'Content-Security-Policy': policy,
};

/** The codecs of DICOM run in Node too, and ask for its modules there alone; that browsers have none is no news. */
const onLog = (level: Rolldown.LogLevel, log: Rolldown.RolldownLog, handle: Rolldown.LogOrStringHandler) => {
  if (!/externalized for browser compatibility.*codec-/s.test(log.message)) handle(level, log);
};

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  plugins: [
    {
      name: 'content-security-policy',
      transformIndexHtml: () => [
        {
          tag: 'meta',
          attrs: { 'http-equiv': 'Content-Security-Policy', content: policy },
          injectTo: 'head-prepend',
        },
      ],
    },
  ],
  server: { headers, port: 5173 },
  preview: { headers, port: 5173 },
  // The runtime finds its WebAssembly beside its own script, which bundling ahead of time would move.
  optimizeDeps: { exclude: ['onnxruntime-web'] },
  worker: { format: 'es', rolldownOptions: { onLog } },
  build: { target: 'es2023', assetsInlineLimit: 0, chunkSizeWarningLimit: 2000, rolldownOptions: { onLog } },
});
