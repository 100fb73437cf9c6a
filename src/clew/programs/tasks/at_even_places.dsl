task at_even_places (xs: list) -> list
about     The elements at the positions 0, 2, 4, ...
ensures   length result == (length xs + 1) / 2
example   [-1, 7] -> [-1]
example   [6, -7, -5, -7, -4] -> [6, -5, -4]
example   [-1, 6, 5, 3, -1, 2, 6] -> [-1, 5, -1, 6]
example   [6, 1, -6, 8, 4] -> [6, -6, 4]
example   [-2, 1, -1, 4, 1, 7, -2, 0, -2] -> [-2, -1, 1, -2, -2]
reference map (\x -> at (x * 2) xs) (range ((length xs + 1) / 2))
