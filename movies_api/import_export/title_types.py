"""Title types of IMDb and TMDB, in the languages of their exports."""

# A line per language: English of today and of ten years ago, German, French, Italian, Spanish,
# Portuguese, Hindi
FILMS = """
Movie, TV Movie, Short, TV Short, Video, TV Special, Feature Film, Short Film, Documentary,
Film, Spielfilm, Kinofilm, Fernsehfilm, TV-Film, Kurzfilm, Fernseh-Kurzfilm, TV-Kurzfilm,
Fernseh-Special, TV-Spezial, Fernsehspecial, Dokumentarfilm,
Téléfilm, Film TV, Court métrage, Court métrage TV, Court métrage télévisé, Émission spéciale,
Émission spéciale TV, Émission TV spéciale, Émission spéciale télévisée, Spécial TV, Long métrage,
Film per la TV, Film per TV, Film televisivo, Cortometraggio, Cortometraggio TV, Corto, Corto TV,
Speciale TV, Speciale televisivo, Lungometraggio, Documentario,
Película, Película de TV, Película para TV, Película de televisión, Telefilme, Cortometraje,
Cortometraje de TV, Corto de TV, Corto para TV, Especial de TV, Especial de televisión, Documental,
Filme, Filme para TV, Filme de TV, Filme para televisão, Curta-metragem, Curta, Curta de TV,
Curta-metragem de TV, Curta-metragem para TV, Especial para TV, Documentário,
फ़िल्म, मूवी, टीवी फ़िल्म, टीवी मूवी, शॉर्ट, टीवी शॉर्ट, वीडियो, टीवी स्पेशल
"""
OTHERS = """
TV, TV Series, TV Mini Series, TV Mini-Series, Mini Series, TV Episode, Episode, Series, Season,
Show, Video Game, Music Video, Podcast, Podcast Series, Podcast Episode,
Fernsehserie, TV-Serie, Serie, Miniserie, TV-Miniserie, Fernseh-Miniserie, Fernsehepisode,
TV-Episode, TV-Folge, Fernsehfolge, Folge, Videospiel, Musikvideo, Podcast-Serie, Podcast-Folge,
Série télévisée, Série TV, Mini-série, Mini-série TV, Mini-série télévisée, Épisode, Épisode TV,
Épisode télévisé, Épisode de série télévisée, Jeu vidéo, Clip vidéo, Clip musical, Vidéo musicale,
Vidéoclip, Série de podcasts, Série balado, Épisode de podcast, Épisode balado,
Serie televisiva, Miniserie televisiva, Episodio, Episodio TV, Episodio televisivo, Videogioco,
Video musicale, Serie podcast, Serie di podcast, Episodio podcast, Episodio di podcast,
Serie de TV, Serie de televisión, Miniserie de TV, Miniserie de televisión, Episodio de TV,
Episodio de televisión, Videojuego, Video musical, Serie de podcast, Episodio de podcast,
Série de TV, Minissérie, Minissérie de TV, Minissérie para TV, Jogo, Jogo eletrônico, Videogame,
Videojogo, Videoclipe, Clipe musical, Série de podcast,
टीवी सीरीज़, टीवी मिनी सीरीज़, टीवी एपिसोड, वीडियो गेम, म्यूज़िक वीडियो, पॉडकास्ट सीरीज़, पॉडकास्ट एपिसोड
"""
