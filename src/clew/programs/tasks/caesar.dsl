task caesar (n: int, xs: list) -> list
about     Digits, each n further on; after 9 comes 0.
requires  all (\x -> 0 <= x && x < 10) xs
ensures   all (\x -> 0 <= x && x < 10) result
example   5, [3, 3] -> [8, 8]
example   2, [8, 3, 1, 8] -> [0, 5, 3, 0]
example   -3, [8, 8, 4, 8] -> [5, 5, 1, 5]
example   12, [8, 8, 8, 6, 9] -> [0, 0, 0, 8, 1]
example   5, [0, 8, 2, 8, 4, 8, 2, 1, 9] -> [5, 3, 7, 3, 9, 3, 7, 6, 4]
reference map (\x -> (x + n) % 10) xs
