import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./components/app.jsx";
import thumbnail from "./lib/image-loader.js";

const Poster = ({ src }) => <img src={thumbnail({ src, width: 320 })} alt="" />;

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <App Poster={Poster} />
  </StrictMode>,
);
