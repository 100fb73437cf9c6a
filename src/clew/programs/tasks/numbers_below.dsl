task numbers_below (n: int) -> list
about     The whole numbers from 0 up to, but without, n.
requires  0 <= n && n <= 100
ensures   length result == n
example   0 -> []
example   1 -> [0]
example   4 -> [0, 1, 2, 3]
example   7 -> [0, 1, 2, 3, 4, 5, 6]
example   10 -> [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
reference range n
