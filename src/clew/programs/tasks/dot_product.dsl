task dot_product (xs: list, ys: list) -> int
about     The sum of the products of the elements at the same places.
ensures   not (is_empty xs) || result == 0
example   [0, -5], [7, 4] -> -20
example   [-1, 4, 7, 7], [-8, -2, -6] -> -42
example   [-2, 3, 6, 3, 4], [5, -8, 7, -2, -2] -> -6
example   [-9, 5, -6, 1], [-9, -8, 7, -4, 5] -> -5
example   [3, 4], [-7, 8] -> 11
reference sum (zip (\x y -> x * y) xs ys)
