task negated (xs: list) -> list
about     Every element with its sign changed.
ensures   length result == length xs
ensures   sum result == neg (sum xs)
example   [-5, 8] -> [5, -8]
example   [-4, -1, 9, 6, 1, 0] -> [4, 1, -9, -6, -1, 0]
example   [-4, 3, -2, 5, -1, 4, -1] -> [4, -3, 2, -5, 1, -4, 1]
example   [-6, -3, 8, 6, 5, 2, -4] -> [6, 3, -8, -6, -5, -2, 4]
example   [4, -7, 1, -3, -7, -4, -8, 3, 6] -> [-4, 7, -1, 3, 7, 4, 8, -3, -6]
reference map (\x -> neg x) xs
