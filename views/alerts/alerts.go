// Package alerts draws the pages about alerts: what is watched and who is told, what was raised, the inbox, and what a
// customer wants to be told.
package alerts
