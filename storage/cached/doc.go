// Package cached keeps in memory what protocols ask of the directory on every
// request: a person and their groups, a client, its application and its mappings.
package cached
