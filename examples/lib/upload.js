// lib/upload.js
import { read } from "./api.js";

// With XMLHttpRequest, because fetch does not report progress
export const upload = (method, url, headers, body, onProgress = () => {}) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const name in headers) request.setRequestHeader(name, headers[name]);
    request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
    request.onload = () => {
      const { status, responseText } = request;
      resolve(read(new Response(responseText || null, { status })));
    };
    request.onerror = () => reject(new Error("The upload was interrupted. Please try again."));
    request.send(body);
  });
