// lib/images.js
import { api } from "./api.js";
import { upload } from "./upload.js";

// Returns a URL for POST /movies, whose response has the permanent URL
export async function uploadImage(file, onProgress) {
  const wanted = { contentType: file.type, size: file.size };
  const { uploadUrl, method, headers, fields, imageUrl } = await api("POST", "/images", wanted);
  const form = new FormData();
  for (const name in fields) form.append(name, fields[name]);
  if (fields) form.append("file", file); // must come last
  await upload(method, uploadUrl, headers, fields ? form : file, onProgress);
  return imageUrl;
}
