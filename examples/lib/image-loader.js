// lib/image-loader.js
export default function imageLoader({ src, width }) {
  const w = [160, 320, 640].find((each) => each >= width); // none: the full size
  return w && /\/images\/[0-9a-f]{64}$/.test(src) ? `${src}?w=${w}` : src;
}
