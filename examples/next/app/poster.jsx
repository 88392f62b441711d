import Image from "next/image";

export const Poster = ({ src }) => <Image src={src} width={160} height={240} alt="" />;
