// node:http and node:https without an `import` of them: that reads every export of theirs, and one of these loads a second HTTP client
// (undici): 40 ms of CPU time and some megabytes in each process. An import for types costs nothing.
export const http = process.getBuiltinModule('node:http')
export const https = process.getBuiltinModule('node:https')
