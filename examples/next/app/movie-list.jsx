import Image from "next/image";

export const MovieList = ({ movies, onDelete }) => (
  <ul>
    {movies.map(({ id, title, year, imageUrl }) => (
      <li key={id}>
        {imageUrl ? <Image src={imageUrl} width={160} height={240} alt="" /> : <div className="no-image" />}
        <strong>{title}</strong> {year}
        {onDelete && (
          <button type="button" onClick={() => onDelete(id)}>
            Delete
          </button>
        )}
      </li>
    ))}
  </ul>
);
