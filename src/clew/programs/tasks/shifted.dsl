task shifted (n: int, xs: list) -> list
about     Every element with n added.
ensures   sum result == sum xs + n * length xs
example   4, [-3, 2] -> [1, 6]
example   -5, [-7, 0, -6, -6, -2, -4] -> [-12, -5, -11, -11, -7, -9]
example   5, [-1, -2, 1, 6, 9] -> [4, 3, 6, 11, 14]
example   2, [7, -3, -2, -2, 1, 1] -> [9, -1, 0, 0, 3, 3]
example   3, [-8, -7, 6, -4, -4, 5, 5, 2, 6] -> [-5, -4, 9, -1, -1, 8, 8, 5, 9]
reference map (\x -> x + n) xs
