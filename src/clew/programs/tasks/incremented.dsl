task incremented (xs: list) -> list
about     Every element larger by 1.
ensures   sum result == sum xs + length xs
example   [5, -1] -> [6, 0]
example   [-3, 2, 8, 7, 2, -9, -3] -> [-2, 3, 9, 8, 3, -8, -2]
example   [2, -6, 0, -1, 2, 5, -9] -> [3, -5, 1, 0, 3, 6, -8]
example   [-6, 9, -9, -1, -2, -4, 7] -> [-5, 10, -8, 0, -1, -3, 8]
example   [-6, -4, -2, 6, -7, 6, -6, 5, -1] -> [-5, -3, -1, 7, -6, 7, -5, 6, 0]
reference map (\x -> x + 1) xs
