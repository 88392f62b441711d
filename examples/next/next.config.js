// next.config.js
const API = process.env.API_URL ?? "http://localhost:3001";
// Do not change the paths: the cookie is limited to /auth
const paths = ["/auth/:path*", "/me/:path*", "/movies/:path*", "/images/:path*"];

export default {
  rewrites: async () => paths.map((path) => ({ source: path, destination: API + path })),
  // Next.js forwards only the first 10 MB of a body otherwise, and files to import may be larger
  experimental: { proxyClientMaxBodySize: "50mb" },
  images: {
    loader: "custom", // the thumbnails of the API: see below
    loaderFile: "./lib/image-loader.js",
    imageSizes: [160, 320], // their widths
  },
};
