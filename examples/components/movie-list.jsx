export const MovieList = ({ movies, Poster, onDelete }) => (
  <ul>
    {movies.map(({ id, title, year, imageUrl }) => (
      <li key={id}>
        {imageUrl ? <Poster src={imageUrl} /> : <div className="no-image" />}
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
