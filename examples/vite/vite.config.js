// vite.config.js
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The default of the API's CORS_ORIGIN is http://localhost:3000
const server = { port: 3000, strictPort: true };

export default defineConfig({ plugins: [react()], server, preview: server });
